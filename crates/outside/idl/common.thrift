namespace rs common

struct Topic {
  1: required string text
}

exception Refused {
  1: required string reason
}
