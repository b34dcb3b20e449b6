//! Tests of the models: the output of the built-in one, and the OpenAI client with a fake endpoint. No test
//! depends on elapsed time: each ends by an event or fails after a minute.

mod endpoint;
mod ngram;
mod openai;

use std::sync::Arc;

use chat::model::{Model, ModelError, Ngram, OpenAi, OpenAiConfig, Reply, from_vars};
use futures_util::StreamExt;

#[test]
fn a_reply_can_be_created_without_a_runtime() {
    drop(Ngram::default().reply("hello"));
    drop(OpenAi::new(OpenAiConfig::new("http://127.0.0.1:1/v1")).expect("a model").reply("hello"));
}

#[test]
fn the_environment_chooses_the_model() {
    let rows: &[(&[(&str, &str)], &str)] = &[
        (&[], "the built-in n-gram model"),
        (&[("OPENAI_API_KEY", "k"), ("OPENAI_MODEL", "m")], "the built-in n-gram model"),
        (&[("OPENAI_BASE_URL", " ")], "the built-in n-gram model"),
        (&[("OPENAI_BASE_URL", "http://h:1/v1")], "gpt-4o-mini at http://h:1/v1/chat/completions"),
        (
            &[("OPENAI_BASE_URL", "http://h/v1/"), ("OPENAI_MODEL", "")],
            "gpt-4o-mini at http://h/v1/chat/completions",
        ),
        (
            &[("OPENAI_BASE_URL", "http://u:secret@h?key=s"), ("OPENAI_MODEL", "m")],
            "m at http://h/chat/completions",
        ),
    ];
    for (vars, name) in rows {
        assert_eq!(chosen(vars).expect("a model").name(), *name);
    }
}

#[test]
fn an_invalid_configuration_is_an_error_with_advice() {
    let set = "set one such as http://127.0.0.1:8080/v1";
    let rows: &[(&[(&str, &str)], &str)] = &[
        (
            &[("OPENAI_BASE_URL", "localhost")],
            "OPENAI_BASE_URL is no http address (relative URL without a base)",
        ),
        (
            &[("OPENAI_BASE_URL", "localhost:8080/v1")],
            "OPENAI_BASE_URL is no http address (its scheme is localhost)",
        ),
        (&[("OPENAI_BASE_URL", "http://")], "OPENAI_BASE_URL is no http address (empty host)"),
    ];
    for (vars, text) in rows {
        assert_eq!(chosen(vars).err().expect("an error").to_string(), format!("{text}: {set}"));
    }
    let key = chosen(&[("OPENAI_BASE_URL", "http://h/v1"), ("OPENAI_API_KEY", "two\nlines")]);
    assert_eq!(key.err(), Some(ModelError::ApiKey));
}

fn chosen(vars: &[(&str, &str)]) -> Result<Arc<dyn Model>, ModelError> {
    from_vars(|name| vars.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned()))
}

async fn tokens_of(reply: Reply) -> Vec<String> {
    reply.map(|token| token.expect("no error")).collect().await
}
