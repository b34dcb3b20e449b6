namespace go rr
struct Foo_ { 1: i32 a_, 2: i32 a, 3: i32 _a, 4: i32 __a__ , 5: i32 A, 6: i32 A_}
struct Foo { 1: Foo_ f }
struct foo { 1: Foo f }
struct _Foo {}
struct __ {}
union FOO { 1: i32 a, 2: i32 A, 3: i32 a_ }
enum fOO { a, A, a_, _a }
service foo_ { void M(1: foo a, 2: Foo A, 3: _Foo _a) }
