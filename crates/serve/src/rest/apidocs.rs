//! The description of every route, from the one table: as OpenAPI, and as a page of our own that reads it.

use std::sync::OnceLock;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ArrayItems, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Required,
    ResponseBuilder, Schema,
};

use super::{Route, routes};

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
            ComponentsBuilder::new().security_scheme("key", SecurityScheme::ApiKey(key)).build(),
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
        .operation_id(Some(format!("{} {}", route.method, route.path)));
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
                .schema(Some(text())),
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
    if let Some(role) = route.access.role() {
        operation = operation.security(SecurityRequirement::new("key", [role.name()]));
    }
    let mut answer = ResponseBuilder::new().description("The answer.");
    if !route.answer.is_empty() {
        answer = answer.content("application/json", content(route.answer));
    }
    let wrong = ResponseBuilder::new()
        .description("What is wrong, and what to do about it.")
        .content("application/json", content(ERROR));
    operation.response("200", answer).response("default", wrong)
}

/// The names in braces.
fn path_names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

/// An example with the schema that it shows.
fn content(example: &str) -> utoipa::openapi::Content {
    let example: Value =
        serde_json::from_str(example).expect("examples of the table are JSON: a test reads them");
    ContentBuilder::new().schema(Some(schema(&example))).example(Some(example)).build()
}

fn schema(example: &Value) -> Schema {
    match example {
        Value::Array(items) => {
            let items = items.first().map_or_else(text, schema);
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
        Value::String(_) | Value::Null => text(),
    }
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
        let mut n = 0;
        for route in routes() {
            let operation = &described["paths"][route.path][route.method.to_lowercase()];
            assert_eq!(operation["summary"], route.summary, "{} {}", route.method, route.path);
            let needs_key = !operation["security"].is_null();
            assert_eq!(needs_key, route.access.role().is_some(), "{} {}", route.method, route.path);
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
