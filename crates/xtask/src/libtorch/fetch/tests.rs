//! The parts that need no network, and wheel.py against files of our own.

use serde_json::json;

use super::*;

fn report(name: &str, sha256: &str) -> Value {
    json!({ "install": [
        { "metadata": { "name": "other" }, "download_info": { "url": "file:///other.whl" } },
        { "metadata": { "name": name }, "download_info": {
            "url": "file:///wanted.whl", "archive_info": { "hashes": { "sha256": sha256 } } } },
    ] })
}

#[test]
fn the_address_is_found_by_project_however_it_is_spelled() {
    let wheel = &WHEELS[1];
    for name in [
        "nvidia-cuda-cupti",
        "nvidia_cuda_cupti",
        "NVIDIA-cuda.cupti",
    ] {
        assert_eq!(
            url_in(&report(name, wheel.sha256), wheel).unwrap(),
            "file:///wanted.whl"
        );
    }
}

#[test]
fn another_digest_is_refused_before_the_download() {
    let error = url_in(&report("torch", "00"), &WHEELS[0])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("torch==2.13.0") && error.contains("is pinned"),
        "{error}"
    );
}

#[test]
fn an_index_without_digests_is_left_to_the_check_of_the_file() {
    let report = json!({ "install": [{ "metadata": { "name": "torch" }, "download_info": { "url": "file:///t.whl" } }] });
    assert_eq!(url_in(&report, &WHEELS[0]).unwrap(), "file:///t.whl");
}

#[test]
fn a_report_without_the_project_says_so() {
    let error = url_in(&report("torch", WHEELS[0].sha256), &WHEELS[2])
        .unwrap_err()
        .to_string();
    assert!(error.contains("nvidia-cuda-runtime"), "{error}");
}

#[test]
fn the_lines_of_the_downloader_are_understood() {
    assert_eq!(
        Told::parse("10 20"),
        Some(Told::Progress {
            done: 10,
            total: 20
        })
    );
    assert_eq!(Told::parse("sha256 ab"), Some(Told::Sha256("ab".into())));
    assert_eq!(Told::parse("noise"), None);
}

/// A test has no server that supports ranges at hand; a file address takes the same path without them.
#[test]
fn a_download_is_digested_and_a_part_without_ranges_starts_again() {
    let directory = tempfile::tempdir().unwrap();
    let [source, part] = ["source", "part"].map(|name| directory.path().join(name));
    fs::write(&source, b"abc").unwrap();
    fs::write(&part, b"x").unwrap();
    let wheel = Wheel {
        project: "p",
        version: "1",
        bytes: 3,
        sha256: "",
        members: &[],
    };
    let Fetched::Sha256(digest) =
        run_fetch(&wheel, &format!("file://{}", source.display()), &part).unwrap()
    else {
        panic!("refused");
    };
    assert_eq!(
        digest,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(fs::read(&part).unwrap(), b"abc");
}

#[test]
fn only_the_wanted_members_are_unpacked_and_a_missing_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let wheel = directory.path().join("p.whl");
    let zip = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1], 'w'); [z.writestr(n, n) for n in ('a/lib/x.so', 'a/include/h/y.h', 'a/z')]";
    assert!(
        Command::new("python3")
            .args(["-c", zip])
            .arg(&wheel)
            .status()
            .unwrap()
            .success()
    );
    let out = directory.path().join("out");

    unpack(
        &wheel,
        &[("a/lib/x.so", "lib/x.so"), ("a/include/", "include/")],
        &out,
    )
    .unwrap();
    assert_eq!(
        fs::read_to_string(out.join("include/h/y.h")).unwrap(),
        "a/include/h/y.h"
    );
    assert!(out.join("lib/x.so").is_file() && !out.join("a").exists() && !out.join("z").exists());

    let error = unpack(&wheel, &[("a/lib/gone.so", "lib/gone.so")], &out)
        .unwrap_err()
        .to_string();
    assert!(error.contains("a/lib/gone.so"), "{error}");
}

#[test]
fn a_damaged_download_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let part = directory.path().join("part");
    fs::write(&part, b"abc").unwrap();
    let error = verify_file(&WHEELS[0], "00", &part)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("torch==2.13.0") && error.contains("was removed"),
        "{error}"
    );
    assert!(!part.exists());
}
