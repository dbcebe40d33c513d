//! A secret is nowhere but with its holder (ST-29).

use std::path::Path;

use swath_model::access::Role;

use crate::site::{Site, null_sweep};

/// The files below a directory that hold one of these texts.
fn holding(directory: &Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, texts));
            continue;
        }
        let content = std::fs::read(&path).unwrap();
        let has = |text: &&str| {
            content
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        if texts.iter().any(has) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_is_kept_nowhere() {
    let site = Site::start().await;
    let token = site.token(Role::Submitter, "sue").await;
    let mut control = site.control(&token);
    control.submit(null_sweep("one", 1)).await.unwrap();
    let revoke = swath_coordinator::api::ChangeOrder::RevokeToken { id: token.id() };
    site.change(&token, &revoke).await.unwrap_err();
    let (text, admin) = (token.reveal(), site.admin.reveal());
    let secret = |text: &str| text.split('.').nth(2).unwrap().to_owned();
    let (own, admin) = (secret(&text), secret(&admin));
    let found = holding(site.dir.path(), &[&own, &admin]);
    assert!(found.is_empty(), "{found:?}");
    // Nor does it show where a program is debugged.
    assert!(
        !format!(
            "{token:?} {:?}",
            swath_proto::secure::Caller::with_token(&token)
        )
        .contains(&own)
    );
}
