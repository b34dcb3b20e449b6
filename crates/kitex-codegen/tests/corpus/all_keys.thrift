namespace go rr
enum E { A }
typedef E T
union Empty {}
struct None {}
struct S { 1: map<bool, i32> a, 2: map<byte, i32> b, 3: map<E, i32> c, 4: map<T, i32> d, 5: map<Empty, i32> e, 6: map<None, i32> f, 7: map<uuid, i32> g, 8: map<binary, binary> h, 9: map<list<binary>, i32> i, 10: set<Empty> j, 11: set<None> k, 12: set<bool> l, 13: set<uuid> m, 14: set<list<list<E>>> n }
