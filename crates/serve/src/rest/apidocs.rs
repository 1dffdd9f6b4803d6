//! The description of every route, from the one table: as OpenAPI, and as a page of our own that reads it.

use std::sync::OnceLock;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ArrayItems, KnownFormat, SchemaFormat, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, Required,
    ResponseBuilder, Schema,
};

use super::{Access, Route, routes};

const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";
const ERROR: &str = r#"{"error":{"code":"bad_parameter","message":"`n` is \"0\"; expected a whole number from 1 to 500","hint":"ask in pages where more is needed"}}"#;

pub(super) async fn page() -> Response {
    file("text/html; charset=utf-8", include_str!("apidocs.html"))
}

pub(super) async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("apidocs.js"))
}

pub(super) async fn json() -> Response {
    static JSON: OnceLock<String> = OnceLock::new();
    let json = JSON.get_or_init(|| open_api().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], json.as_str()).into_response()
}

fn file(content_type: &'static str, content: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
    ];
    (headers, content).into_response()
}

fn open_api() -> OpenApi {
    let mut paths = Paths::new();
    for route in routes() {
        paths.add_path_operation(route.path, vec![method(route.method)], operation(&route));
    }
    let key = ApiKey::Header(ApiKeyValue::with_description(
        "X-API-Key",
        "Needed where the service has keys. Each route names the role that its key must have; `admin` may do everything.",
    ));
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("UpNext")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "Recommendations, explained. The routes under /api/v2 are our own; the others speak as Gorse does, so its \
                     clients work. Every error is {\"error\":{\"code\",\"message\",\"hint\"}}.",
                ))
                .build(),
        )
        .paths(paths)
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme("key", SecurityScheme::ApiKey(key))
                .schema("Error", schema(&example_of(ERROR)))
                .build(),
        ))
        .build()
}

fn method(name: &str) -> HttpMethod {
    match name {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn operation(route: &Route) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .tag(route.tag)
        .summary(Some(route.summary))
        .operation_id(Some(operation_id(route)));
    for name in path_names(route.path) {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(text())),
        );
    }
    for (name, description) in &route.query {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(*name)
                .parameter_in(ParameterIn::Query)
                .description(Some(*description))
                .schema(Some(parameter(name))),
        );
    }
    if let Some(body) = route.body {
        operation = operation.request_body(Some(
            RequestBodyBuilder::new()
                .required(Some(Required::True))
                .content("application/json", content(body))
                .build(),
        ));
    }
    if route.takes_lines {
        operation = operation.request_body(Some(
            RequestBodyBuilder::new().content("application/octet-stream", bytes()).build(),
        ));
    }
    if let Some(role) = route.access.role() {
        operation = operation.security(SecurityRequirement::new("key", [role.name()]));
    }
    let mut answer = ResponseBuilder::new().description("The answer.");
    if !route.answer.is_empty() {
        answer = answer.content("application/json", content(route.answer));
    } else if route.answers_lines {
        answer = answer.content("application/octet-stream", bytes());
    }
    let wrong = |description: &str| {
        ResponseBuilder::new().description(description).content(
            "application/json",
            ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build(),
        )
    };
    operation = operation.response("200", answer);
    let statuses: &[(&str, &str)] = match route.access {
        Access::Open => &[("503", "Come back after the seconds in Retry-After.")],
        Access::Read | Access::Write | Access::Admin => &[
            ("400", "The request is wrong; the error names what, and what to do."),
            ("401", "The key is missing or is none."),
            ("403", "The key has not this role, or a page of another site asks."),
            ("404", "What is named is not there."),
            ("413", "The body is too large."),
            ("429", "Too many requests: come back after the seconds in Retry-After."),
            ("503", "Come back after the seconds in Retry-After."),
        ],
    };
    statuses.iter().fold(operation, |operation, (status, what)| operation.response(*status, wrong(what)))
}

/// A name that generated clients can give a function: `get_v2_recommend_by_user`.
fn operation_id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api").trim_start_matches('/');
    let ends = if path.ends_with('/') { "_slash" } else { "" };
    let part = |part: &str| match part.strip_prefix('{') {
        Some(name) => format!("_by_{}", name.trim_end_matches('}')),
        None => format!("_{}", part.replace(['-', '.'], "_")),
    };
    let parts: String = path.split('/').filter(|part| !part.is_empty()).map(part).collect();
    // Metarank's paths begin at the root, where Gorse has others below `/api`.
    let root = if route.path.starts_with("/api") || path == "metrics" { "" } else { "_root" };
    format!("{}{root}{parts}{ends}", route.method.to_lowercase())
}

/// The type of a parameter; a name means the same everywhere.
fn parameter(name: &str) -> Schema {
    match name {
        "n" | "offset" | "age_max" | "hour" => of(Type::Integer),
        "lambda" | "diversity" => of(Type::Number),
        "explain" => of(Type::Boolean),
        "exclude" | "category" | "pick" | "block_author" => {
            let items = ArrayItems::RefOrSchema(Box::new(text().into()));
            Schema::Array(ArrayBuilder::new().items(items).build())
        }
        _ => text(),
    }
}

fn bytes() -> utoipa::openapi::Content {
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    let bytes = ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build();
    ContentBuilder::new().schema(Some(Schema::Object(bytes))).build()
}

/// The names in braces.
fn path_names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

/// An example with the schema that it shows.
fn content(example: &str) -> utoipa::openapi::Content {
    let example = example_of(example);
    ContentBuilder::new().schema(Some(schema(&example))).example(Some(example)).build()
}

fn example_of(text: &str) -> Value {
    serde_json::from_str(text).expect("examples of the table are JSON: a test reads them")
}

fn schema(example: &Value) -> Schema {
    match example {
        Value::Array(items) => {
            let items = items.first().map_or_else(any, schema);
            let items = ArrayItems::RefOrSchema(Box::new(items.into()));
            Schema::Array(ArrayBuilder::new().items(items).build())
        }
        Value::Object(fields) => {
            let object = ObjectBuilder::new().schema_type(Type::Object);
            let add = |object: ObjectBuilder, (name, value): (&String, &Value)| {
                object.property(name, schema(value))
            };
            Schema::Object(fields.iter().fold(object, add).build())
        }
        Value::Number(number) if number.is_f64() => of(Type::Number),
        Value::Number(_) => of(Type::Integer),
        Value::Bool(_) => of(Type::Boolean),
        Value::String(_) => text(),
        Value::Null => any(),
    }
}

/// What an example does not tell.
fn any() -> Schema {
    Schema::Object(ObjectBuilder::new().schema_type(SchemaType::AnyValue).build())
}

fn text() -> Schema {
    of(Type::String)
}

fn of(kind: Type) -> Schema {
    Schema::Object(ObjectBuilder::new().schema_type(kind).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described() {
        let described: Value = serde_json::from_str(&open_api().to_json().unwrap()).unwrap();
        let (mut n, mut ids) = (0, std::collections::BTreeSet::new());
        for route in routes() {
            let operation = &described["paths"][route.path][route.method.to_lowercase()];
            assert_eq!(operation["summary"], route.summary, "{} {}", route.method, route.path);
            let needs_key = !operation["security"].is_null();
            assert_eq!(needs_key, route.access.role().is_some(), "{} {}", route.method, route.path);
            assert!(
                ids.insert(operation["operationId"].to_string()),
                "{} stands twice",
                operation["operationId"]
            );
            n += 1;
        }
        assert!(n > 50, "{n} routes");
    }

    #[test]
    fn the_handbook_names_every_route() {
        let handbook = include_str!("../../../../docs/http.md");
        for route in routes() {
            let named = format!("`{} {}`", route.method, route.path);
            assert!(handbook.contains(&named), "docs/http.md does not name {named}");
        }
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        for content in [include_str!("apidocs.html"), include_str!("apidocs.js")] {
            assert!(!content.contains("http://") && !content.contains("https://"));
            assert!(!content.contains("innerHTML") && !content.contains(" style="));
        }
    }
}
