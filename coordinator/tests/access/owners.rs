//! Whose sweeps somebody may change: his own, and everybody's as admin.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};
use swath_coordinator::api::ChangeOrder;
use swath_model::access::{CredentialId, Role, TokenText};
use tonic::Code;

use crate::site::{Site, null_sweep};

async fn submitter(site: &Site, name: &str, sweep: &str) -> TokenText {
    let token = site.token(Role::Submitter, name).await;
    let submitted = site.control(&token).submit(null_sweep(sweep, 3)).await;
    submitted.unwrap();
    token
}

fn order(text: &Value) -> ChangeOrder {
    serde_json::from_value(text.clone()).unwrap()
}

/// Every order there is, about a sweep of anna or a worker.
fn orders(token: &TokenText) -> Vec<Value> {
    let sweep = json!(["wide"]);
    let worker = json!("gpu1");
    vec![
        json!({"cancel": {"selector": sweep}}),
        json!({"retry": {"selector": sweep, "failed": true, "missing": true, "diverged": false}}),
        json!({"pause": {"selector": sweep}}),
        json!({"resume": {"selector": sweep}}),
        json!({"rename": {"selector": sweep, "name": "wide"}}),
        json!({"note": {"selector": sweep, "note": "seen"}}),
        json!({"tag": {"selector": sweep, "add": ["seen"], "remove": []}}),
        json!({"archive": {"selector": sweep, "undo": true}}),
        json!({"forget_results": {"selector": sweep}}),
        json!({"extend": {"selector": sweep, "replicates": 2}}),
        json!({"import": {"selector": sweep, "file": "f.csv", "text": "a,b\n", "source": "s"}}),
        json!({"cordon": {"worker": worker}}),
        json!({"activate": {"worker": worker}}),
        json!({"drain": {"worker": worker}}),
        json!({"forget": {"worker": worker}}),
        json!({"create_token": {"role": "viewer", "name": "vera"}}),
        json!({"revoke_token": {"id": token.id().to_string()}}),
        json!({"revoke_worker": {"worker": worker}}),
        json!({"delete": {"selector": sweep, "cancel": true}}),
    ]
}

/// The name of an order, as its document begins.
fn name(order: &Value) -> &str {
    order.as_object().unwrap().keys().next().unwrap()
}

#[test]
fn no_order_is_left_out() {
    let unknown = serde_json::from_str::<ChangeOrder>(r#"{"no such order": {}}"#).unwrap_err();
    let unknown = unknown.to_string();
    let known = unknown.split('`').skip(3).step_by(2);
    let known: BTreeSet<&str> = known.collect();
    let token = TokenText::new(CredentialId::from_random([3; 8]), [1; 32], [2; 32]);
    let orders = orders(&token);
    let tested: BTreeSet<&str> = orders.iter().map(name).collect();
    assert_eq!(tested, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_gives_every_order() {
    let site = Site::start().await;
    let anna = submitter(&site, "anna", "wide").await;
    let bob = submitter(&site, "bob", "deep").await;
    let vic = site.token(Role::Viewer, "vic").await;
    let other = site.token(Role::Viewer, "vera").await;
    let callers = [
        ("viewer", &vic),
        ("another", &bob),
        ("owner", &anna),
        ("admin", &site.admin),
    ];
    let names = callers.map(|(name, _)| name);
    let mut rows = vec![format!("{:15} {}", "", names.join(" "))];
    for document in orders(&other) {
        let mut row = format!("{:15}", name(&document));
        for (caller, token) in callers {
            let changed = site.change(token, &order(&document)).await;
            let refused = changed.is_err_and(|status| status.code() == Code::PermissionDenied);
            let mark = if refused { "-" } else { "yes" };
            write!(row, " {mark:width$}", width = caller.len()).unwrap();
        }
        rows.push(row.trim_end().to_owned());
    }
    insta::assert_snapshot!(rows.join("\n"), @"
                    viewer another owner admin
    cancel          -      -       yes   yes
    retry           -      -       yes   yes
    pause           -      -       yes   yes
    resume          -      -       yes   yes
    rename          -      -       yes   yes
    note            -      -       yes   yes
    tag             -      -       yes   yes
    archive         -      -       yes   yes
    forget_results  -      -       yes   yes
    extend          -      -       yes   yes
    import          -      -       yes   yes
    cordon          -      -       -     yes
    activate        -      -       -     yes
    drain           -      -       -     yes
    forget          -      -       -     yes
    create_token    -      -       -     yes
    revoke_token    -      -       -     yes
    revoke_worker   -      -       -     yes
    delete          -      -       yes   yes
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_means_ones_own() {
    let site = Site::start().await;
    let anna = submitter(&site, "anna", "wide").await;
    let bob = submitter(&site, "bob", "deep").await;
    let cancel = order(&json!({"cancel": {"selector": ["*"]}}));
    let changed = site.change(&bob, &cancel).await.unwrap();
    assert_eq!(changed["sweeps"].as_array().unwrap().len(), 1, "{changed}");
    // What is named is refused, and says why.
    let hers = order(&json!({"cancel": {"selector": ["wide"]}}));
    let refused = site.change(&bob, &hers).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("anna"), "{refused}");
    let changed = site.change(&anna, &cancel).await.unwrap();
    assert_eq!(changed["sweeps"].as_array().unwrap().len(), 1, "{changed}");
    let retry = order(
        &json!({"retry": {"selector": ["*"], "failed": true, "missing": true, "diverged": false}}),
    );
    let changed = site.change(&site.admin, &retry).await.unwrap();
    assert_eq!(changed["sweeps"].as_array().unwrap().len(), 2, "{changed}");
}
