namespace go rr
enum Color { RED = 1, BLUE = 2, negative = -3 }
typedef Color Paint
typedef i32 Num
typedef list<Num> Nums
typedef map<string, Nums> Index
struct Leaf { 1: required i32 x, 2: string s = "leaf", 3: optional Paint p, 4: double d = 1, 5: bool b = 1 }
struct Branch { 1: Leaf leaf = {"x": 1}, 2: list<Leaf> leaves = [{"x": 1}, {"x": 2, "p": Color.BLUE}], 3: map<string, Branch> more, 4: optional Branch one }
union Any { 1: Leaf leaf, 2: Branch branch, 3: Nums nums, 4: Any any, 5: i32 n, 6: string s }
const Num ONE = 1
const Num TWO = ONE
const i64 WIDE = TWO
const double REAL = TWO
const double HEX = 0x10
const i32 NEG = -0x10
const i32 OCT = 0o17
const i64 PLUS = +5
const double EXP = 1E3
const double EXP2 = -2.5e-3
const double DOT = .5
const Nums NUMS = [ONE, TWO, 3; 4 5]
const Index INDEX = {"a": NUMS, "b": [ONE], "c": []}
const list<Index> INDEXES = [INDEX, {"z": NUMS}]
const map<Color, Leaf> BY_COLOR = {Color.RED: {"x": ONE}, 2: {"x": TWO, "s": NAME}}
const string NAME = "name"
const Leaf LEAF = {"x": ONE, "s": NAME}
const Branch BRANCH = {"leaf": LEAF, "leaves": [LEAF, LEAF], "more": {"k": {"leaf": LEAF}}, "one": {}}
const Any ANY = {"any": {"any": {"branch": BRANCH}}}
const list<Any> ANYS = [{"n": 1}, {"s": "x"}, {"nums": NUMS}, ANY]
const map<string, list<set<map<i32, string>>>> DEEP = {"a": [[{1: "x"}], []]}
const i32 FROM_ENUM = Color.negative
const byte SMALL = Color.BLUE
const Paint PAINT = Paint.RED
const Color FROM_INT = 2
const list<Color> COLORS = [1, Color.BLUE, PAINT]
const list<bool> BOOLS = [true, false, 1, 0]
const list<binary> BLOBS = ["a", "\x00\xff"]
const list<list<list<string>>> TEXTS = [[["a"], []], []]
const map<string, string> EMPTY_LIST_MAP = []
const list<i32> EMPTY_MAP_LIST = {}
const Leaf BARE = {}
const uuid ID = "00112233-4455-6677-8899-aabbccddeeff"
struct Defaults {
  1: i64 a = ONE, 2: double b = TWO, 3: i32 c = Color.BLUE, 4: Color d = 1, 5: Paint e = Paint.BLUE, 6: Color f = 99
  7: Nums g = NUMS, 8: Index h = INDEX, 9: Leaf i = LEAF, 10: Branch j = BRANCH, 11: Any k = ANY, 12: list<Any> l = ANYS
  13: required Nums m = NUMS, 14: required Leaf n = LEAF, 15: optional Any o = {"s": "x"}, 16: map<Color, Leaf> p = BY_COLOR
  17: binary q = "\x00", 18: string r = 'it\'s "x"', 19: optional Defaults s = {}, 20: list<Defaults> t = [{}], 21: uuid u = ID
  22: Leaf v = {}, 23: map<string, string> w = {}, 24: list<i32> x = [], 25: set<i32> y = {}
}
service V { void M(1: i32 a = ONE, 2: optional Nums b = NUMS, 3: Leaf c = LEAF, 4: Color d = Color.RED, 5: required string e = NAME) }
