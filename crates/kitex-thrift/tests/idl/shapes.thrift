// What the tests decode: the structs of lab.thrift, and one of every shape that a payload can have.
namespace rs shapes

struct Req {
  1: string msg
  2: i64 seq
  3: binary payload
}

struct Resp {
  1: string msg
  2: i64 seq
  3: binary payload
}

exception LabError {
  1: i32 code
  2: string reason
}

// The arguments and the result of Ping and Unary, as Kitex sends them.
struct PingArgs {
  1: required Req req
}

union PingResult {
  0: Resp success
  1: LabError e
}

enum Color {
  RED = 1
  GREEN = 2
}

typedef list<i64> Numbers

struct Empty {
}

struct All {
  1: bool flag
  2: i8 small
  3: i16 short
  4: i32 medium
  5: i64 long
  6: double ratio
  7: string text
  8: binary blob
  9: uuid id
  10: Color color
  11: list<string> names
  12: set<i32> numbers
  13: map<string, i64> counts
  14: Numbers more
  15: list<list<binary>> rows
  16: map<string, list<All>> groups
  17: Choice choice
  18: list<Wide> wide
  19: map<i64, string> sorted (pilota.rust_type = "btree")
  20: set<string> ordered (pilota.rust_type = "btree")
  21: string word = "default"
}

union Choice {
  1: i64 number
  2: string text
  3: list<Choice> choices
  4: Node node
}

struct Node {
  1: Node next
  2: list<Node> children
  3: required i32 value
}

struct Chain {
  1: Chain next
}

// One byte on the wire if it is empty, and much memory.
struct Wide {
  1: string a
  2: string b
  3: string c
  4: string d
  5: string e
  6: string f
  7: string g
  8: string h
}

struct Bombs {
  1: list<Wide> list
  2: set<Wide> set
  3: map<i32, Wide> map
  4: list<Chain> chains
  5: list<string> strings
  6: list<binary> binaries
}
