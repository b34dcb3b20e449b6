namespace go rr
struct S1 { 1: i32 a1, 2: i32 a_1, 3: i32 a1b2, 4: i32 _1, 5: i32 _2x }
struct S_1 {}
struct _1 {}
enum E1 { _1 = 1, _2 = 2, A1, A_1 }
union U { 1: i32 _1, 2: i32 a1, 3: i32 a_1 }
service V1 { void m1(), void m_1(), void _1() }
