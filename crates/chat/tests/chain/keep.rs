//! Transcripts are kept, however a reply ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chat::service::{DEFAULT_LIMIT, Transcripts};
use serde_json::{Value, json};

use crate::{Running, model};

#[tokio::test]
async fn a_transcript_contains_the_tokens_made_so_far() {
    for stop_after in [None, Some(1), Some(25)] {
        let folder = folder(&format!("made-{}", stop_after.unwrap_or_default()));
        let transcripts = Transcripts::folder(&folder).expect("a folder");
        let mut chain = Running::with(Arc::new(model()), transcripts, DEFAULT_LIMIT).await;
        let (_, shown) = chain.ask("why is the sky blue?", stop_after).await;
        let [.., model] = chain.hops().await;
        let work = model.work.expect("the model's");
        let transcript = read(&work.file.expect("a file")).await;
        let reply = transcript["reply"].as_str().expect("a text");
        assert!(reply.starts_with(&shown) && reply.len() == work.bytes, "{reply}");
        assert_eq!(transcript["prompt"], "why is the sky blue?");
        assert_eq!(transcript["tokens"], model.tokens);
        assert_eq!(transcript["whole"], json!(stop_after.is_none()));
        let error = model.ended.err().map(|error| error.to_string());
        assert_eq!(transcript["error"], json!(error));
    }
}

#[tokio::test]
async fn each_reply_has_its_own_transcript() {
    let folder = folder("own");
    let transcripts = Transcripts::folder(&folder).expect("a folder");
    let mut chain = Running::with(Arc::new(model()), transcripts, DEFAULT_LIMIT).await;
    for _ in 0..3 {
        chain.ask("hello", Some(1)).await;
        let [.., model] = chain.hops().await;
        read(&model.work.expect("the model's").file.expect("a file")).await;
    }
    assert_eq!(fs::read_dir(&folder).expect("the folder").count(), 3);
}

#[test]
fn an_unwritable_transcript_folder_is_an_error_with_advice() {
    let file = folder("no-folder").join("file");
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(&file, "").expect("a file");
    let error = Transcripts::folder(&file).expect_err("no folder").to_string();
    assert!(error.starts_with(&format!("cannot write transcripts to {} (", file.display())), "{error}");
    assert!(error.ends_with("): choose another folder with --transcripts"), "{error}");
}

/// Returns a folder for this test that does not exist yet.
pub(crate) fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("transcripts").join(name);
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => path,
    }
}

/// Reads a transcript, once its thread has written it.
async fn read(file: &Path) -> Value {
    crate::within(async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    serde_json::from_slice(&fs::read(file).expect("a transcript")).expect("JSON")
}
