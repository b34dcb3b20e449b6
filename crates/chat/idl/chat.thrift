namespace rs chat

/** What a user wants to know. */
struct Question {
  1: required string prompt
}

/** The next piece of a reply. Put together, the pieces are its text. */
struct Token {
  1: required string text
}

/** What each service of the chain speaks: gateway, agent and model. */
service Chat {
  /** Answers token by token. */
  Token Ask(1: Question question) (streaming.mode="server")
}
