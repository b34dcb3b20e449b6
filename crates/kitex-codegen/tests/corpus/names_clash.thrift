namespace go rr
struct foo_bar { 1: i32 a }
struct FooBar { 1: foo_bar a }
enum fooBar { A }
typedef i32 Foo_Bar
struct ChatClient {} struct ChatServer {} struct ChatGetArgs {} struct ChatGetResult {} exception ChatGetError {}
struct ChatWatchArgs {} struct CHAT_METHODS {}
const i32 CHAT_METHODS_ = 1
const i32 chat_methods = 2
service Chat {
  ChatClient Get(1: ChatServer c, 2: ChatGetArgs a, 3: ChatGetResult r) throws (1: ChatGetError e)
  void get(), void GET()
  ChatWatchArgs Watch(1: ChatWatchArgs a) (streaming.mode = "server")
}
service ChatServerServer { void New(), void new(), void with_recv_timeout(), void clone(), void from(), void as_ref(), void call(), void methods() }
struct Box {} struct Vec {} struct String {} struct Option {} struct Result {} struct Some {} struct None {} struct Ok {} struct Err {}
struct Default {} struct Clone {} struct Debug {} struct Send {} struct Sync {} struct Pin {} struct Future {} struct Self {} struct Wire {}
struct Reader {} struct Writer {} struct Type {} struct Message {} struct Decoded {} struct From {} struct Into {} struct Drop {} struct Arc {}
struct Uses {
  1: Box box, 2: Vec vec, 3: list<String> str, 4: optional Option option, 5: Result result, 6: Some some, 7: Self self_type
  8: string set, 9: i32 field, 10: i32 from, 11: required i32 to, 12: required i32 value, 13: i32 size, 14: i32 read, 15: i32 write
  16: i32 UserID, 17: i32 userId, 18: i32 user_id, 19: i32 _user_id, 20: i32 default, 21: i32 HEAP, 22: i32 TYPE
  23: list<Box> boxes = [{}], 24: map<string, Option> options = {"a": {}}
}
union Names { 1: i32 unknown, 2: i32 Unknown, 3: i32 UNKNOWN, 4: Self self, 5: i32 Ok, 6: i32 Some, 7: Box box, 8: i32 _, 9: i32 __ }
enum Values { self = 1, Self = 2, SELF = 3, type = 4, TYPE = 5, inner = 6, NAME = 7, name = 8, Ok = 9, _ = 10, HEAP = 11, from = 12 }
const Values DEFAULT_VALUE = Values.self
service Wires { Option Get(1: Box self, 2: i32 Self, 3: i32 ctx, 4: i32 ctx_, 5: i32 args, 6: i32 stream, 7: i32 client, 8: i32 response, 9: i32 error, 10: i32 method) }
service Streams {
  Box A(1: Box stream) (streaming.mode = "client"), Box B(1: Box ctx) (streaming.mode = "server"), Box C(1: Box request) (streaming.mode = "bidirectional")
  Box D(1: Box call) (streaming.mode = "unary"), Names E(1: Names handler) (streaming.mode = "server")
}
