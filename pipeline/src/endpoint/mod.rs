//! A client of OpenAI-compatible chat endpoints that take images: vLLM, SGLang, `transformers serve`,
//! hosted ones, and our own server.
//!
//! [`Endpoint::call`] is one call and one answer: a [`Reply`], or a [`CallError`] that says whether a later
//! call may succeed. Repeating, pacing and counting are the caller's, with [`Backoff`] and [`Pace`] for it.
//! Neither the key nor the image is in any error or reply.

mod error;
mod pace;
mod question;
mod reply;
mod retry;
mod stream;

use std::io::Read as _;
use std::time::Duration;

use qponder_shared::recipe::EndpointRecipe;
use ureq::Agent;
use ureq::http::header;

pub use error::{CallError, Cause, EndpointError};
pub use pace::Pace;
pub use question::{Picture, Question};
pub use reply::{Reply, Usage};
pub use retry::Backoff;

/// Most bytes of an answer that are read: far beyond any answer, far below any memory.
const MAX_BODY: u64 = 16 << 20;

/// A chat endpoint.
pub struct Endpoint {
    agent: Agent,
    /// Where questions go.
    completions: String,
    /// Where the models are listed.
    models: String,
    model: String,
    key: Option<String>,
    stream: bool,
}

impl Endpoint {
    /// The endpoint of a recipe, with its key from the environment.
    ///
    /// # Errors
    /// When the variable that should hold the key is not set, or holds what no header can.
    pub fn new(recipe: &EndpointRecipe) -> Result<Self, EndpointError> {
        let key = match &recipe.api_key_env {
            None => None,
            Some(variable) => {
                let key = std::env::var(variable).unwrap_or_default().trim().to_owned();
                if key.is_empty() {
                    return Err(EndpointError::NoKey { variable: variable.clone() });
                }
                if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(EndpointError::UnusableKey { variable: variable.clone() });
                }
                Some(key)
            }
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // A key must not travel where a redirection points.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections_per_host(recipe.concurrency)
            .user_agent(concat!("qponder/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs_f64(recipe.connect_timeout)))
            .timeout_global(Some(Duration::from_secs_f64(recipe.timeout)))
            .build()
            .into();
        let address = |name: &str| format!("{}/{name}", recipe.base_url.trim_end_matches('/'));
        let (completions, models) = (address("chat/completions"), address("models"));
        Ok(Self { agent, completions, models, model: recipe.model.clone(), key, stream: recipe.stream })
    }

    /// Asks for the list of models, which costs nothing, so that an endpoint of no use is known before long work.
    ///
    /// # Errors
    /// When nobody answers or the key is not taken. Other answers say nothing about questions: not every endpoint
    /// has such a list, and one may be busy.
    pub fn reach(&self) -> Result<(), CallError> {
        let mut request = self.agent.get(&self.models);
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let mut response = request.call().map_err(|error| CallError::of_transport(&error))?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(());
        }
        let mut bytes = Vec::new();
        // What it says is for the message alone.
        let _ = response.body_mut().as_reader().take(MAX_BODY).read_to_end(&mut bytes);
        let error = CallError::of_status(status, self.without_key(&String::from_utf8_lossy(&bytes)), None);
        if error.cause == Cause::Unauthorised { Err(error) } else { Ok(()) }
    }

    /// Makes one call.
    ///
    /// # Errors
    /// What kept the answer from coming, with the endpoint's own words where it gave any.
    pub fn call(&self, question: &Question<'_>) -> Result<Reply, CallError> {
        let body = question.body(&self.model, self.stream);
        let mut request = self.agent.post(&self.completions).content_type("application/json");
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let mut response = request.send(body).map_err(|error| CallError::of_transport(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = retry_after.and_then(|value| retry::retry_after(value, retry::now()));
        let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_stream = content_type.is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"));

        let mut bytes = Vec::new();
        let read = response.body_mut().as_reader().take(MAX_BODY).read_to_end(&mut bytes);
        let raw = self.without_key(&String::from_utf8_lossy(&bytes));
        if status != 200 {
            return Err(CallError::of_status(status, raw, wait));
        }
        if let Err(error) = read {
            return Err(CallError::of_reading(&error, raw));
        }
        let reply = if is_stream { stream::reply(&raw) } else { reply::reply(&raw) };
        reply.map_err(|(cause, message)| CallError {
            cause,
            status: Some(200),
            message,
            body: raw,
            wait: None,
        })
    }

    /// An endpoint may repeat the key that it does not accept.
    fn without_key(&self, text: &str) -> String {
        match &self.key {
            Some(key) => text.replace(key.as_str(), "[key]"),
            None => text.to_owned(),
        }
    }
}
