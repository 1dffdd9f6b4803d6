//! Which keys there are; never what they are.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::error::ApiError;
use crate::tenants::Identity;
use crate::{AppState, Role};

#[derive(Serialize)]
pub(super) struct Keys {
    keys: Vec<Key>,
}

#[derive(Serialize)]
struct Key {
    id: String,
    name: String,
    roles: Vec<Role>,
    tenant: Option<String>,
    per_second: Option<u32>,
    created: String,
}

/// Who is bound to a tenant sees its keys alone.
pub(super) async fn list(
    State(state): State<AppState>,
    identity: axum::Extension<Identity>,
) -> Result<Json<Keys>, ApiError> {
    let kept = state.shared().keys.kept().into_iter();
    let seen = kept.filter(|(_, key)| identity.tenant().is_none_or(|own| key.tenant.as_deref() == Some(own)));
    let keys = seen.map(|(id, key)| Key {
        id,
        name: key.name,
        roles: key.roles,
        tenant: key.tenant,
        per_second: key.per_second,
        created: key.created,
    });
    Ok(Json(Keys { keys: keys.collect() }))
}
