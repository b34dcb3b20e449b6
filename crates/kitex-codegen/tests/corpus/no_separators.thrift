namespace go rr
struct S {
 1: i32 a
 2: string b = "x"
 3: list<i32> c = [1 2 3]
 4: map<string, i32> d = {"a": 1 "b": 2}
}
service V {
 void A(1: i32 a 2: i32 b)
 void B()
 i32 C()
}
