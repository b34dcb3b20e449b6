# Everything that an IDL can hold and that code is made of.
namespace go zoo
namespace rs acme.zoo

include "shared/base.thrift"

// How an animal looks
enum Color {
  UNKNOWN = 0,
  RED = 1, // like fire
  DARK_BLUE = 5
}

typedef i64 Id
typedef list<Animal> Herd

const string GREETING = "::kitex is a word // and no path"
const list<string> WORDS = ["a", "b"]
const map<string, i32> SIZES = {"small": 1, "big": 2}
const Color FAVOURITE = Color.RED

/// An animal with
///
///     an indented line and a [bracket] <and a tag>
struct Animal {
  1: required Id id
  // its name
  2: string name = "nobody"
  3: Color color = Color.DARK_BLUE
  4: optional Animal parent
  5: list<Animal> children
  6: map<string, list<i64>> table = {"x": [1, 2]}
  7: set<string> tags
  8: map<Id, Animal> friends
  9: binary picture
  10: bool type
  11: double self
  12: Food food
  13: base.Caller keeper
  14: byte b
  15: i16 s
  16: i32 limit = base.LIMIT
  17: list<list<Color>> colors
  18: uuid tag
  19: set<i32> sorted (pilota.rust_type = "btree")
  20: map<string, string> words (pilota.rust_type = "btree")
}

union Food {
  1: string plant
  2: Animal animal
  3: list<Food> menu
  4: Color color
  5: Id id
}

struct Empty {
}

// Names that Rust has its own use for.
struct Result {
  1: string fn
  2: i32 match
  3: Option option
}

struct Option {
  1: string Some
}

// Shapes that are rare.
struct Odd {
  1: list<uuid> tags
  2: set<double> ratios
  3: map<Color, set<Point>> points
  4: list<Point> corners = [{"x": 1}]
  5: required Table table
  6: optional binary bytes = "abc"
}

struct Point {
  1: required i32 x
  2: i32 y = 3
}

typedef map<string, list<Color>> Table
typedef uuid Tag

enum Nothing {
}

union Any {
  1: Table table
  2: Tag tag
  3: Odd odd
  4: double ratio
  5: map<i8, i16> small
}

const Point ORIGIN = {"x": 0, "y": 0}
const map<string, map<string, i32>> NESTED = {"a": {"b": 1}}
const double NEARLY_PI = 3.14

exception NotFound {
  1: Id id
  2: string text
}

// Looks after animals.
service Zoo extends base.Health {
  // Finds one.
  //
  // Takes its time.
  Animal Get(1: Id id, 2: optional Color color) throws (1: NotFound missing, 2: base.Busy busy)
  Herd ForGet(1: list<Id> ids)
  void Feed(1: Food food, 2: i32 ctx, 3: i32 args) throws (1: NotFound missing)
  oneway void Log(1: string line)
  Option Look(1: Result type) (streaming.mode = "unary")
  Empty Move(1: Animal animal) (streaming.mode = "client")
  Animal Watch(1: base.Someone stream) (streaming.mode = "server")
  Food Talk(1: Food food) (streaming.mode = "bidirectional")
}

service Empties {
}

// Names that Rust, a client or an `Arc` has for something else.
service getter {
  void get_all()
  void New(1: i32 ctx)
  i32 clone(1: i32 self)
  string to_string(1: string call, 2: string error)
}

service Cage {
  Food Open()
}
