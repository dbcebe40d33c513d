use std::io::{BufRead, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};

use super::*;

/// What a server does with one request.
type Answer = Box<dyn FnOnce(&mut TcpStream) + Send>;

/// A server that gives one answer after the other, each on a connection of its
/// own. Returns its address and the heads of the requests.
fn server(answers: Vec<Answer>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, heads) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut head).unwrap() > 2 {}
            let _ = sender.send(head.to_lowercase());
            answer(&mut stream);
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
    (address, heads)
}

/// The head of an answer and the part of its body that is sent.
fn says(head: &str, body: &[u8]) -> Answer {
    let mut bytes = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").into_bytes();
    bytes.extend(body);
    Box::new(move |stream| stream.write_all(&bytes).unwrap())
}

/// A server of whole files, in the order of the requests; none: 404.
pub(in crate::data) fn files_server(
    bodies: Vec<Option<&'static str>>,
) -> (String, Receiver<String>) {
    refusing_server("404 Not Found", bodies)
}

/// As [`files_server`]; none: `refusal`.
pub(in crate::data) fn refusing_server(
    refusal: &str,
    bodies: Vec<Option<&'static str>>,
) -> (String, Receiver<String>) {
    let answers = bodies.into_iter().map(|body| match body {
        Some(body) => says(
            &format!("200 OK\r\nContent-Length: {}", body.len()),
            body.as_bytes(),
        ),
        None => says(&format!("{refusal}\r\nContent-Length: 0"), b""),
    });
    server(answers.collect())
}

fn client() -> Client {
    Client::new(Patience {
        connect: Duration::from_secs(5),
        silence: Duration::from_millis(300),
        pause: Duration::from_millis(1),
        tries: 3,
        bytes: 1000,
    })
}

const BODY: &[u8] = b"0123456789";

fn fetched(answers: Vec<Answer>) -> (Result<(), Trouble>, Vec<u8>, Vec<String>) {
    let root = tempfile::tempdir().unwrap();
    let part = root.path().join("file.part");
    let (address, heads) = server(answers);
    let done = client().fetch(&format!("{address}/file"), &part);
    let content = fs::read(&part).unwrap_or_default();
    (done, content, heads.try_iter().collect())
}

#[test]
fn a_cut_off_download_goes_on_where_it_was() {
    let (done, content, heads) = fetched(vec![
        says("200 OK\r\nContent-Length: 10\r\nETag: \"a\"", &BODY[..4]),
        says(
            "206 Partial Content\r\nContent-Length: 6\r\nContent-Range: bytes 4-9/10\r\nETag: \"a\"",
            &BODY[4..],
        ),
    ]);
    assert_eq!((done, &content[..]), (Ok(()), BODY));
    assert!(!heads[0].contains("range"), "{heads:?}");
    assert!(heads[1].contains("range: bytes=4-"), "{heads:?}");
    assert!(heads[1].contains("if-range: \"a\""), "{heads:?}");
}

#[test]
fn a_server_without_ranges_or_with_a_new_file_starts_over() {
    let (done, content, heads) = fetched(vec![
        says(
            "200 OK\r\nContent-Length: 10\r\nLast-Modified: Tue, 24 Nov 2026 07:00:00 GMT",
            b"old",
        ),
        says("200 OK\r\nContent-Length: 10", BODY),
    ]);
    assert_eq!((done, &content[..]), (Ok(()), BODY));
    assert!(heads[1].contains("if-range: tue"), "{heads:?}");
    // Without a validator, nothing tells whether the file is still the same.
    let (done, content, heads) = fetched(vec![
        says("200 OK\r\nContent-Length: 10\r\nETag: W/\"a\"", b"old"),
        says("200 OK\r\nContent-Length: 10", BODY),
    ]);
    assert_eq!((done, &content[..]), (Ok(()), BODY));
    assert!(!heads[1].contains("range"), "{heads:?}");
}

#[test]
fn a_range_that_does_not_fit_starts_over() {
    for odd in [
        "416 Range Not Satisfiable\r\nContent-Length: 0",
        "206 Partial Content\r\nContent-Length: 0\r\nContent-Range: bytes 2-9/10",
    ] {
        let (done, content, _) = fetched(vec![
            says("200 OK\r\nContent-Length: 10\r\nETag: \"a\"", b"012"),
            says(odd, b""),
            says("200 OK\r\nContent-Length: 10", BODY),
        ]);
        assert_eq!((done, &content[..]), (Ok(()), BODY));
    }
}

#[test]
fn a_missing_file_is_not_asked_for_again() {
    for status in ["404 Not Found", "403 Forbidden", "401 Unauthorized"] {
        let head = format!("{status}\r\nContent-Length: 0");
        let (done, _, heads) = fetched(vec![says(&head, b"")]);
        assert!(
            matches!(done, Err(Trouble::Absent(what)) if what.contains(status)),
            "{heads:?}"
        );
        assert_eq!(heads.len(), 1);
    }
    let (done, ..) = fetched(vec![says("400 Bad Request\r\nContent-Length: 0", b"")]);
    assert!(matches!(done, Err(Trouble::Failed(what)) if what.contains("400")));
}

#[test]
fn a_server_in_trouble_is_asked_again_but_not_for_ever() {
    let busy = || says("503 Service Unavailable\r\nContent-Length: 0", b"");
    let (done, content, _) = fetched(vec![
        busy(),
        busy(),
        says("200 OK\r\nContent-Length: 10", BODY),
    ]);
    assert_eq!((done, &content[..]), (Ok(()), BODY));
    let (done, _, heads) = fetched(vec![busy(), busy(), busy()]);
    assert!(matches!(done, Err(Trouble::Failed(what)) if what.contains("after 3 tries")));
    assert_eq!(heads.len(), 3);
}

#[test]
fn progress_earns_patience() {
    // More cuts than tries, each a byte further.
    let mut answers = vec![says(
        "200 OK\r\nContent-Length: 10\r\nETag: \"a\"",
        &BODY[..1],
    )];
    for start in 1..10 {
        let head = format!(
            "206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-9/10\r\n\
             ETag: \"a\"",
            10 - start
        );
        answers.push(says(&head, &BODY[start..=start]));
    }
    let (done, content, _) = fetched(answers);
    assert_eq!((done, &content[..]), (Ok(()), BODY));
}

#[test]
fn a_server_that_falls_silent_is_left() {
    let silent = |head: &'static str| -> Answer {
        Box::new(move |stream| {
            stream.write_all(head.as_bytes()).unwrap();
            // Until the other side hangs up.
            let _ = stream.read(&mut [0]);
        })
    };
    let (done, content, _) = fetched(vec![
        silent(""),
        silent("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"a\"\r\n\r\n0123"),
        says(
            "206 Partial Content\r\nContent-Length: 6\r\nContent-Range: bytes 4-9/10",
            &BODY[4..],
        ),
    ]);
    assert_eq!((done, &content[..]), (Ok(()), BODY));
}

#[test]
fn redirects_are_followed() {
    let (target, _) = server(vec![says("200 OK\r\nContent-Length: 10", BODY)]);
    let (done, content, _) = fetched(vec![says(
        &format!("302 Found\r\nLocation: {target}/there\r\nContent-Length: 0"),
        b"",
    )]);
    assert_eq!((done, &content[..]), (Ok(()), BODY));
}
