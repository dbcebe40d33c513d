//! Every call there is, made by everybody there is (ST-01).

use std::fmt::Write;

use prost::Message;
use prost_types::FileDescriptorSet;
use swath_model::access::Role;
use swath_proto::secure::{Caller, Certificate, Line};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use crate::site::{SOON, Site};

/// The path of each call: of the descriptors, so that none is left out.
fn calls() -> Vec<String> {
    let set = FileDescriptorSet::decode(swath_proto::DESCRIPTORS).unwrap();
    let mut calls = vec!["/grpc.health.v1.Health/Check".to_owned()];
    for file in &set.file {
        for service in &file.service {
            let name = service.name();
            let methods = service.method.iter();
            calls.extend(methods.map(|it| format!("/{}.{name}/{}", file.package(), it.name())));
        }
    }
    calls.push("/swath.v1.Control/NoSuchCall".to_owned());
    calls.push("/grpc.reflection.v1.ServerReflection/Info".to_owned());
    calls
}

/// Makes a call with an empty message; how it was refused, if it was for who makes it.
async fn refused(line: &Line, path: &str) -> Option<Code> {
    let mut client = tonic::client::Grpc::new(line.clone());
    client.ready().await.unwrap();
    let message = Request::new(tokio_stream::once(()));
    let path = path.parse().unwrap();
    let call = async {
        let codec = ProstCodec::<(), ()>::default();
        let mut reply = client.streaming(message, path, codec).await?;
        reply.get_mut().message().await
    };
    // A call that waits was let through.
    let answer = tokio::time::timeout(SOON / 10, call).await.ok()?;
    let code = answer.err()?.code();
    let is_refusal = matches!(
        code,
        Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented
    );
    is_refusal.then_some(code)
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_makes_every_call() {
    let site = Site::start().await;
    let of_role = async |role, name| Caller::with_token(&site.token(role, name).await);
    // It knows the coordinator and shows nothing.
    let nobody = Caller::with_certificate(*site.admin.authority(), Certificate::default());
    let callers = [
        ("nobody", nobody),
        ("newcomer", of_role(Role::Worker, "").await),
        ("worker", site.worker("gpu1").await),
        ("viewer", of_role(Role::Viewer, "vic").await),
        ("submitter", of_role(Role::Submitter, "sue").await),
        ("admin", of_role(Role::Admin, "ada").await),
    ];
    let names: Vec<&str> = callers.iter().map(|(name, _)| *name).collect();
    let mut rows = vec![format!("{:42} {}", "", names.join(" "))];
    for call in calls() {
        let mut row = format!("{call:42}");
        for (name, caller) in &callers {
            let refused = refused(&site.line(caller), &call).await;
            let mark = match refused {
                None => "yes",
                Some(Code::Unimplemented) => "?",
                Some(_) => "-",
            };
            write!(row, " {mark:width$}", width = name.len()).unwrap();
        }
        rows.push(row.trim_end().to_owned());
    }
    insta::assert_snapshot!(rows.join("\n"), @"
                                               nobody newcomer worker viewer submitter admin
    /grpc.health.v1.Health/Check               yes    yes      yes    yes    yes       yes
    /swath.v1.Dispatch/Hello                   -      -        yes    -      -         -
    /swath.v1.Dispatch/Exchange                -      -        yes    -      -         -
    /swath.v1.Dispatch/Heartbeat               -      -        yes    -      -         -
    /swath.v1.Dispatch/Observe                 -      -        yes    -      -         -
    /swath.v1.Dispatch/Release                 -      -        yes    -      -         -
    /swath.v1.Dispatch/Goodbye                 -      -        yes    -      -         -
    /swath.v1.Dispatch/Fetch                   -      -        yes    yes    yes       yes
    /swath.v1.Dispatch/Retain                  -      -        yes    -      -         -
    /swath.v1.Dispatch/Serve                   -      -        yes    -      -         -
    /swath.v1.Admission/Enrol                  -      yes      yes    -      -         -
    /swath.v1.Admission/WhoAmI                 yes    yes      yes    yes    yes       yes
    /swath.v1.Control/Submit                   -      -        -      -      yes       yes
    /swath.v1.Control/Read                     -      -        -      yes    yes       yes
    /swath.v1.Control/Change                   -      -        -      -      yes       yes
    /swath.v1.Control/Upload                   -      -        -      -      yes       yes
    /swath.v1.Control/Watch                    -      -        -      yes    yes       yes
    /swath.v1.Control/FetchFile                -      -        -      yes    yes       yes
    /swath.v1.Control/NoSuchCall               ?      ?        ?      ?      ?         ?
    /grpc.reflection.v1.ServerReflection/Info  ?      ?        ?      ?      ?         ?
    ");
}
