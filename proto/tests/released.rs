//! A rolling upgrade needs that what was released keeps its meaning on the wire: nothing of it
//! goes, and nothing of it gets another number, name or type. New things may be added.

use std::collections::BTreeSet;
use std::fmt::Write;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// What the released protocol declares: one line for each field, value and call.
const RELEASED: &str = include_str!("released.txt");

/// What the protocol declares now.
fn declared() -> String {
    let set = FileDescriptorSet::decode(swath_proto::DESCRIPTORS).unwrap();
    let mut lines = BTreeSet::new();
    for file in &set.file {
        let package = file.package();
        for message in &file.message_type {
            add_message(&mut lines, package, message);
        }
        for kind in &file.enum_type {
            add_enum(&mut lines, package, kind);
        }
        for service in &file.service {
            for call in &service.method {
                let stream = |streams| if streams { "stream " } else { "" };
                lines.insert(format!(
                    "call {package}.{}/{} ({}{}) ({}{})",
                    service.name(),
                    call.name(),
                    stream(call.client_streaming()),
                    call.input_type(),
                    stream(call.server_streaming()),
                    call.output_type(),
                ));
            }
        }
    }
    lines.into_iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}

fn add_message(lines: &mut BTreeSet<String>, prefix: &str, message: &DescriptorProto) {
    let name = format!("{prefix}.{}", message.name());
    for field in &message.field {
        let (number, what) = (field.number(), kind(field));
        lines.insert(format!("field {name} {number} {} {what}", field.name()));
    }
    for inner in &message.nested_type {
        add_message(lines, &name, inner);
    }
    for inner in &message.enum_type {
        add_enum(lines, &name, inner);
    }
}

fn add_enum(lines: &mut BTreeSet<String>, prefix: &str, kind: &EnumDescriptorProto) {
    for value in &kind.value {
        let (name, number) = (kind.name(), value.number());
        lines.insert(format!("value {prefix}.{name} {number} {}", value.name()));
    }
}

/// The type of a field, such as `repeated uint32` or `.swath.v1.Held`.
fn kind(field: &FieldDescriptorProto) -> String {
    let label = match field.label() {
        Label::Repeated => "repeated ",
        Label::Required => "required ",
        Label::Optional if field.proto3_optional() => "optional ",
        Label::Optional => "",
    };
    let name = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().to_owned(),
        plain => plain
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    };
    format!("{label}{name}")
}

#[test]
fn what_was_released_stays_on_the_wire() {
    let now = declared();
    let now: BTreeSet<&str> = now.lines().collect();
    let lost: Vec<&str> = RELEASED.lines().filter(|it| !now.contains(it)).collect();
    assert!(
        lost.is_empty(),
        "released workers and coordinators still use these; add what is new beside them: {lost:#?}"
    );
}

/// At a release: `cargo test -p swath-proto --test released -- --ignored`.
#[test]
#[ignore = "writes what is released from now on"]
fn release_what_is_declared() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/released.txt");
    std::fs::write(path, declared()).unwrap();
}
