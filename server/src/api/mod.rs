//! The HTTP interface: one file a noun. A handler parses, calls one function, and shapes the answer.

mod access;
mod annotations;
mod assessments;
mod audit;
mod chat;
mod client_name;
mod compare;
mod cookie;
mod datasets;
mod denied;
mod docs;
mod events;
mod extract;
mod files;
mod gate;
mod images;
mod info;
mod invites;
mod job_events;
mod jobs;
mod labels;
mod models;
mod operation;
mod pipelines;
mod problem;
mod public_url;
mod request_log;
mod security;
mod session;
mod site;
mod statistics;
mod studies;
mod study_items;
mod tasks;
mod tokens;
mod transfers;
mod uploads;
mod users;
mod visitor;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get};
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::limits::Limits;
use crate::accounts::passwords::Passwords;
use crate::decoding::Decoder;
use crate::file_count::Files;
use crate::inference::Inference;
use crate::jobs::{JobNews, Places};
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::store::Store;
use crate::store::objects::Objects;
use crate::transfers::Transfers;
use crate::uptime::Uptime;
use gate::Gate;
pub use invites::LINK_PATH;
use problem::ApiError;
pub use public_url::PublicUrl;
use security::Origins;
pub use security::{Exposure, is_loopback_name};
pub use uploads::{Shelf, clean_name};

/// Largest request about accounts, in bytes. None has more than an address, a name and passwords.
const MAX_ACCOUNT_BYTES: usize = 16 << 10;

/// What handlers work with; each takes only the parts that it needs.
#[derive(Clone)]
pub struct App {
    /// Rows.
    pub store: Store,
    /// Bytes.
    pub objects: Objects,
    /// Pixels.
    pub decoder: Decoder,
    /// The model.
    pub inference: Inference,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Password hashing.
    pub passwords: Passwords,
    /// Limits on guessing.
    pub limits: Arc<Limits>,
    /// Imports and exports.
    pub transfers: Transfers,
    /// News of jobs.
    pub job_news: JobNews,
    /// What jobs may name.
    pub places: Places,
    /// Models that have a name.
    pub registry: Registry,
    /// The files of the object store.
    pub files: Files,
    /// Since when, and where.
    pub uptime: Uptime,
}

/// Who is answered, and how people reach the server.
pub struct Reach {
    /// From where.
    pub exposure: Exposure,
    /// Everybody is the local admin.
    pub local: bool,
    /// Proxies whose word about a client's address is believed.
    pub proxies: Vec<IpAddr>,
    /// Where people find it.
    pub public_url: Option<PublicUrl>,
}

macro_rules! part {
    ($field:ident: $type:ty) => {
        impl FromRef<App> for $type {
            fn from_ref(app: &App) -> Self {
                app.$field.clone()
            }
        }
    };
}

part!(store: Store);
part!(objects: Objects);
part!(decoder: Decoder);
part!(inference: Inference);
part!(metrics: Arc<Metrics>);
part!(passwords: Passwords);
part!(limits: Arc<Limits>);
part!(transfers: Transfers);
part!(job_news: JobNews);
part!(places: Places);
part!(registry: Registry);
part!(files: Files);
part!(uptime: Uptime);

impl FromRef<App> for Shelf {
    fn from_ref(app: &App) -> Self {
        Self {
            store: app.store.clone(),
            objects: app.objects.clone(),
            decoder: app.decoder.clone(),
            metrics: Arc::clone(&app.metrics),
        }
    }
}

/// Everything under `/api/v1`, with its description.
fn v1() -> OpenApiRouter<App> {
    let uploads = OpenApiRouter::new()
        .routes(routes!(images::list, uploads::upload))
        .layer(DefaultBodyLimit::max(uploads::MAX_REQUEST_BYTES));
    let accounts = OpenApiRouter::new()
        .routes(routes!(session::sign_in, session::read, session::sign_out))
        .routes(routes!(session::list, session::sign_out_everywhere))
        .routes(routes!(session::change_password))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::delete))
        .routes(routes!(users::list))
        .routes(routes!(users::change))
        .routes(routes!(users::reset_link))
        .routes(routes!(invites::list, invites::create))
        .routes(routes!(invites::revoke))
        .routes(routes!(invites::open))
        .routes(routes!(invites::accept))
        .routes(routes!(audit::list))
        .routes(routes!(operation::storage))
        .routes(routes!(operation::count_files))
        .routes(routes!(operation::remove_orphans))
        .routes(routes!(operation::health))
        .layer(DefaultBodyLimit::max(MAX_ACCOUNT_BYTES));
    let imports = OpenApiRouter::new()
        .routes(routes!(transfers::import))
        .layer(DefaultBodyLimit::max(transfers::MAX_IMPORT_BYTES));
    let annotation = OpenApiRouter::new()
        .routes(routes!(statistics::read))
        .routes(routes!(datasets::create))
        .routes(routes!(datasets::list))
        .routes(routes!(datasets::archive))
        .routes(routes!(studies::members, studies::add_member))
        .routes(routes!(studies::remove_member))
        .routes(routes!(tasks::next))
        .routes(routes!(tasks::vote))
        .routes(routes!(tasks::given))
        .routes(routes!(tasks::read_draft, tasks::save_draft, tasks::delete_draft))
        .routes(routes!(tasks::reveal))
        .routes(routes!(annotations::annotate))
        .routes(routes!(annotations::list))
        .routes(routes!(annotations::read))
        .routes(routes!(annotations::review))
        .routes(routes!(annotations::comment))
        .layer(DefaultBodyLimit::max(tasks::MAX_REQUEST_BYTES));
    let studies = OpenApiRouter::new()
        .routes(routes!(studies::list, studies::create))
        .routes(routes!(studies::read, studies::change))
        .layer(DefaultBodyLimit::max(studies::MAX_REQUEST_BYTES));
    let items = OpenApiRouter::new()
        .routes(routes!(study_items::list, study_items::add))
        .routes(routes!(study_items::change))
        .layer(DefaultBodyLimit::max(study_items::MAX_REQUEST_BYTES));
    OpenApiRouter::new()
        .merge(uploads)
        .merge(imports)
        .merge(accounts)
        .merge(studies)
        .merge(annotation)
        .merge(items)
        .routes(routes!(info::info))
        .routes(routes!(images::read, images::delete))
        .routes(routes!(files::original))
        .routes(routes!(files::thumbnail))
        .routes(routes!(files::rendering))
        .routes(routes!(assessments::list))
        .routes(routes!(assessments::create))
        .routes(routes!(assessments::read, assessments::cancel))
        .routes(routes!(events::events))
        .routes(routes!(transfers::export))
        .routes(routes!(transfers::list))
        .routes(routes!(transfers::read, transfers::cancel))
        .routes(routes!(transfers::file))
        .routes(routes!(jobs::list, jobs::create))
        .routes(routes!(jobs::read, jobs::edit, jobs::cancel))
        .routes(routes!(pipelines::check_recipe))
        .routes(routes!(pipelines::recipe_differences))
        .routes(routes!(pipelines::recipe_fields))
        .routes(routes!(pipelines::edit_recipe))
        .routes(routes!(pipelines::pipeline))
        .routes(routes!(jobs::retry))
        .routes(routes!(jobs::attempts))
        .routes(routes!(jobs::metrics))
        .routes(routes!(jobs::log))
        .routes(routes!(jobs::completions))
        .routes(routes!(job_events::events))
        .routes(routes!(jobs::artifacts))
        .routes(routes!(jobs::artifact))
        .routes(routes!(jobs::workers))
        .routes(routes!(models::lineage))
        .routes(routes!(models::measurements_of_job))
        .routes(routes!(models::list, models::register))
        .routes(routes!(models::read, models::edit))
        .routes(routes!(models::measurements))
        .routes(routes!(models::file))
        .routes(routes!(models::uses))
        .routes(routes!(models::promote))
        .routes(routes!(models::roll_back))
        .routes(routes!(labels::set))
        .routes(routes!(compare::of_image))
        .routes(routes!(compare::list))
        .routes(routes!(compare::statistics))
        .routes(routes!(compare::models))
        .fallback(no_such_route)
}

/// Everything under `/v1`: the OpenAI dialect.
fn openai() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(chat::models))
        .routes(routes!(chat::complete))
        .layer(DefaultBodyLimit::max(chat::MAX_REQUEST_BYTES))
}

fn description() -> OpenApi {
    let about = "Q-Ponder looks at a photograph, reasons about its visual quality, and ends with a score from 1.00 \
        to 5.00. Errors are application/problem+json (RFC 9457). Times are UTC, ids are UUIDv7. Except for signing in, \
        every endpoint wants the page's session or an API token, as `Authorization: Bearer qp_...`: without one it \
        answers 401, without the scope that it needs 403.";
    let licence = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Q-Ponder")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(about))
        .license(Some(licence))
        .build();
    OpenApiBuilder::new().info(info).build()
}

fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(description()).nest("/api/v1", v1()).nest("/v1", openai())
}

/// The OpenAPI document.
#[cfg(test)]
fn document() -> OpenApi {
    described().into_openapi()
}

/// The whole server: API, documentation, health, and the page in `web`.
pub fn router(app: App, reach: Reach, web: &Path) -> Router {
    let (api, document) = described().split_for_parts();
    let observed = Arc::clone(&app.metrics);
    let origins = Origins { exposure: reach.exposure, public_url: reach.public_url.clone() };
    let gate = Gate {
        store: app.store.clone(),
        limits: Arc::clone(&app.limits),
        local: reach.local,
        proxies: reach.proxies.into(),
        public_url: reach.public_url,
    };
    api.merge(docs::router(&document))
        .route("/api", any(no_such_route))
        .route("/api/{*rest}", any(no_such_route))
        .route("/v1/{*rest}", any(chat::no_such_route))
        .route("/healthz", get(info::healthz))
        .route("/readyz", get(info::readyz))
        .route("/metrics", get(info::metrics))
        .method_not_allowed_fallback(wrong_method)
        .with_state(app)
        .merge(site::router(web))
        .layer(from_fn_with_state(gate, gate::guard))
        .layer(from_fn_with_state(origins, security::guard))
        .layer(from_fn_with_state(observed, request_log::observe))
        .layer(from_fn(request_log::name))
}

async fn no_such_route(uri: Uri) -> ApiError {
    ApiError::not_found("route", uri.path())
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let detail = format!("{} does not take {method}; see /api/docs", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
}
