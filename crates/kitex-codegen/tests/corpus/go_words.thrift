namespace go rr
struct S { 1: i32 BEGIN, 2: i32 END, 3: i32 __CLASS__, 4: i32 abstract, 5: i32 alias, 6: i32 and, 7: i32 args, 8: i32 func, 9: i32 range, 10: i32 chan, 11: i32 interface, 12: i32 defer, 13: i32 go, 14: i32 package, 15: i32 var, 16: i32 select, 17: i32 nil, 18: i32 error, 19: i32 len, 20: i32 iota }
service V { void func(1: i32 range, 2: i32 chan, 3: i32 nil), void range(1: i32 type) }
