//! Statistics of model against label: SRCC, PLCC, KRCC, RMSE, and bootstrap intervals.
