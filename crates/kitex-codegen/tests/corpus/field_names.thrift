namespace go rr
struct S { 1: i32 new, 2: i32 default, 3: i32 clone, 4: i32 encode, 5: i32 decode, 6: i32 reader, 7: i32 writer, 8: i32 w, 9: i32 r, 10: required i32 out, 11: required i32 depth, 12: required i32 id, 13: required i32 ty, 14: required string s, 15: required list<S> v, 16: i32 hasher, 17: i32 state, 18: i32 f, 19: i32 other, 20: optional i32 this, 21: i32 fields, 22: i32 kind, 23: required i32 begun, 24: required i32 found, 25: i32 error, 26: i32 result, 27: required string message }
exception E { 1: required i32 fmt, 2: required string f, 3: string formatter, 4: string source, 5: string to_string, 6: optional i32 Error, 7: i32 error}
service V { void M() throws (1: E e) }
