//! Parses an event of a chat completion. Owns its JSON; knows nothing of its source.

use serde_json::Value;

use crate::text::one_line;

/// One event's data.
pub(super) enum Chunk {
    /// `[DONE]`: the reply is complete.
    Done,
    /// Text to append, often empty, and whether the model finishes here.
    Piece {
        /// The text to append.
        text: String,
        /// The model gave a reason to finish.
        finishes: bool,
    },
    /// The endpoint reported an error.
    Error(String),
    /// Not a chat completion.
    Unknown(String),
}

impl Chunk {
    pub(super) fn parse(data: &[u8]) -> Self {
        if data.trim_ascii() == b"[DONE]" {
            return Self::Done;
        }
        let value: Value = match serde_json::from_slice(data) {
            Ok(value) => value,
            Err(error) => return Self::Unknown(one_line(&error.to_string())),
        };
        let choices = value.get("choices").and_then(Value::as_array);
        let Some(choices) = choices.filter(|_| value.get("error").is_none_or(Value::is_null)) else {
            return error_message(&value)
                .map_or_else(|| Self::Unknown("it has no choices".into()), Self::Error);
        };
        // A report of usage has no choices.
        let choice = choices.first().unwrap_or(&Value::Null);
        let text = choice.pointer("/delta/content").and_then(Value::as_str).unwrap_or_default().to_owned();
        let finishes = choice.get("finish_reason").is_some_and(Value::is_string);
        Self::Piece { text, finishes }
    }
}

/// Returns the error in a JSON body, in one of the forms that servers use:
/// `{"error": {"message": ".."}}`, `{"error": ".."}`, `{"message": ".."}`, `{"detail": ".."}`.
pub(super) fn error_message(value: &Value) -> Option<String> {
    let reported = match value.get("error") {
        None | Some(Value::Null) => {
            ["/message", "/detail"].iter().find_map(|at| value.pointer(at)?.as_str())?
        }
        Some(Value::String(message)) => message,
        Some(error) => error.get("message").and_then(Value::as_str).unwrap_or("it gave no message"),
    };
    Some(one_line(reported))
}
