namespace go rr
struct Point { 1: required double x, 2: optional list<double> ys }
union Mixed { 1: double d, 2: set<i32> s, 3: Point p, 4: map<string, Mixed> m }
struct Deep { 1: list<list<Point>> l, 2: optional Deep next }
typedef set<double> Doubles
typedef map<Point, Doubles> Table
exception Broken { 1: set<Mixed> causes }
struct S {
  1: set<Point> a
  2: map<Point, map<Mixed, Deep>> b
  3: set<set<set<i32>>> c
  4: map<list<i32>, list<map<list<double>, i32>>> d
  5: set<Deep> e
  6: map<map<i32, i32>, set<i32>> f
  7: Table g
  8: set<Doubles> h
  9: list<set<map<Mixed, set<Point>>>> i
  10: required set<Broken> j
  11: optional map<bool, map<byte, map<i16, map<i64, map<binary, map<uuid, string>>>>>> k
  12: set<binary> l = ["a", "b"]
  13: set<Point> m = [{"x": 1}, {"x": 1}]
  14: map<double, Point> n = {1: {"x": 2}, 1.5: {"x": 3, "ys": [1, 2.5]}}
  15: set<set<i32>> o = [[1, 2], []]
  16: map<set<i32>, i32> p = {[1]: 2}
}
const set<Point> POINTS = [{"x": 1}]
const map<double, Point> BY = {1.5: {"x": 2}}
const Doubles DS = [1, -1.5e-3]
service V { set<Point> A(1: set<Mixed> a, 2: map<Point, i32> b = {{"x": 1}: 2}) throws (1: Broken b) }
