namespace go rr
typedef string uuid
struct S { 1: uuid a = "x", 2: list<uuid> b }
service V { uuid M(1: uuid a) }
