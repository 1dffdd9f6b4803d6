//! A client that others wrote for Gorse, unchanged, over a socket.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::sync::Arc;

use gorse_rs::{Feedback, Gorse, Item, RecommendOptions, User};
use serde_json::json;
use upnext_serve::{ServeConfig, bind, serve};
use upnext_store::{Sqlite, StoreConfig};

fn feedback(kind: &str, user: &str, item: &str, value: f64) -> Feedback {
    Feedback {
        feedback_type: kind.into(),
        user_id: user.into(),
        item_id: item.into(),
        value,
        timestamp: "2022-11-20T13:55:27Z".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gorse_s_own_client_writes_users_items_and_feedback_and_reads_recommendations() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(folder.path().join("store.db"), StoreConfig::default()).unwrap());
    let config = ServeConfig { key: Some("secret".into()), ..ServeConfig::default() };
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let service = tokio::spawn(serve(listener, world::state_over(store, config), async {
        let _ = stopped.await;
    }));
    let client = Gorse::new(format!("http://{address}/"), "secret");

    let user = User {
        user_id: "2000".into(),
        labels: json!({"gender": "M", "occupation": "engineer"}),
        comment: "a comment".into(),
    };
    assert_eq!(client.insert_user(&user).await.unwrap().row_affected, 1);
    assert_eq!(client.get_user("2000").await.unwrap(), user);
    assert_eq!(client.delete_user("2000").await.unwrap().row_affected, 1);
    assert!(client.get_user("2000").await.unwrap_err().to_string().starts_with("404"));

    let item = Item {
        item_id: "2000".into(),
        is_hidden: true,
        labels: json!({"embedding": [0.1, 0.2, 0.3]}),
        categories: vec!["Comedy".into(), "Animation".into()],
        timestamp: "2022-11-20T13:55:27Z".into(),
        comment: "Minions (2015)".into(),
    };
    assert_eq!(client.insert_item(&item).await.unwrap().row_affected, 1);
    assert_eq!(client.get_item("2000").await.unwrap(), item);
    assert_eq!(client.delete_item("2000").await.unwrap().row_affected, 1);
    assert!(client.get_item("2000").await.unwrap_err().to_string().starts_with("404"));

    client.insert_user(&user).await.unwrap();
    let rows = vec![
        feedback("watch", "2000", "space1", 1.0),
        feedback("watch", "2000", "space2", 2.0),
        feedback("watch", "2000", "crime0", 3.0),
    ];
    for row in &rows {
        client.delete_feedback(&row.user_id, &row.item_id).await.unwrap();
    }
    assert_eq!(client.insert_feedback(&rows).await.unwrap().row_affected, 3);
    assert_eq!(client.list_feedback("2000", "watch").await.unwrap(), rows);
    assert_eq!(client.delete_feedback("2000", "crime0").await.unwrap().row_affected, 1);
    assert_eq!(client.list_feedback("2000", "watch").await.unwrap(), rows[..2]);

    let near = client.get_item_neighbors("space1").await.unwrap();
    assert!(near[0].id.starts_with("space") && near[0].score.is_finite(), "{near:?}");
    let slate = client.get_recommend("2000", RecommendOptions { n: 3 }).await.unwrap();
    assert_eq!(slate.len(), 3);
    assert!(slate[0].starts_with("space") && !slate.contains(&"space1".to_owned()), "{slate:?}");
    assert_eq!(client.get_recommend("nobody", RecommendOptions::default()).await.unwrap().len(), 10);

    let stranger = Gorse::new(format!("http://{address}/"), "wrong");
    assert!(stranger.insert_user(&user).await.unwrap_err().to_string().starts_with("401"));
    stop.send(()).unwrap();
    service.await.unwrap().unwrap();
}
