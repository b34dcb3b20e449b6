include "common.thrift"
namespace rs story

struct Word {
  1: required string text
}

service Story {
  Word Tell(1: common.Topic topic) (streaming.mode = "server")
}
