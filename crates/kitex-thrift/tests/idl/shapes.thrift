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

struct HasUnion {
  1: Choice plain
  2: optional Choice optional
  3: list<Choice> list
  4: map<i32, Choice> map
}

// 20 strings: 640 bytes.
struct Row {
  1: optional string a1, 2: optional string a2, 3: optional string a3, 4: optional string a4
  5: optional string a5, 6: optional string a6, 7: optional string a7, 8: optional string a8
  9: optional string a9, 10: optional string a10, 11: optional string a11, 12: optional string a12
  13: optional string a13, 14: optional string a14, 15: optional string a15, 16: optional string a16
  17: optional string a17, 18: optional string a18, 19: optional string a19, 20: optional string a20
}

struct Rows {
  1: list<Row> rows
  2: list<Broad> broad
}

// Holds itself in every way, and much beside.
struct Broad {
  1: optional Broad next
  2: list<Broad> list
  3: map<i32, Broad> map
  4: Forest forest
  5: optional Row r0, 6: optional Row r1, 7: optional Row r2, 8: optional Row r3, 9: optional Row r4
  10: optional Row r5, 11: optional Row r6, 12: optional Row r7, 13: optional Row r8, 14: optional Row r9
  15: Row r10, 16: Row r11, 17: Row r12, 18: Row r13, 19: Row r14, 20: Row r15, 21: Row r16, 22: Row r17
}

union Forest {
  1: Broad tree
  2: list<Forest> trees
}

struct Odd {
  1: set<double> doubles
  2: map<double, string> by_double
  3: set<set<i32>> sets
  4: map<map<string, i32>, i32> by_map
  5: set<Point> points
}

struct Point {
  1: required double x
}

struct Inner {
  1: i32 x
  2: string y = "dy"
  3: optional list<i32> z = [1]
}

struct Outer {
  1: Inner p = {"x": 5}
}

// Defaults that would hold each other for ever, if a literal had the defaults of what it does not name.
struct Ring {
  1: RingB b = {}
  2: Ring this = {}
  3: list<Ring> list = [{}]
}

struct RingB {
  1: required RingC c
}

struct RingC {
  1: Ring a = {"b": {}}
}

// Values that are there before anything is read into them.
struct Preset {
  1: required Inner p = {"x": 5}
  2: required Choice u = {"number": 1}
  3: required list<i32> l = [1, 2]
  4: required Inner q
  5: Choice v = {"number": 1}
}
