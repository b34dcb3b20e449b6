namespace go rr
struct abstract { 1: i32 abstract, 2: i32 as, 3: i32 async, 4: i32 await, 5: i32 become, 6: i32 box, 7: i32 break, 8: i32 const, 9: i32 continue, 10: i32 crate
 11: i32 do, 12: i32 dyn, 13: i32 else, 14: i32 enum, 15: i32 extern, 16: i32 false, 17: i32 final, 18: i32 fn, 19: i32 for, 20: i32 gen, 21: i32 if, 22: i32 impl
 23: i32 in, 24: i32 let, 25: i32 loop, 26: i32 macro, 27: i32 match, 28: i32 mod, 29: i32 move, 30: i32 mut, 31: i32 override, 32: i32 priv, 33: i32 pub, 34: i32 ref
 35: i32 return, 36: i32 self, 37: i32 static, 38: i32 struct, 39: i32 super, 40: i32 trait, 41: i32 true, 42: i32 try, 43: i32 type, 44: i32 typeof, 45: i32 unsafe
 46: i32 unsized, 47: i32 use, 48: i32 virtual, 49: i32 where, 50: i32 while, 51: i32 yield, 52: i32 union, 53: i32 safe, 54: i32 raw, 55: i32 macro_rules, 56: i32 auto
 57: i32 str, 58: i32 u8, 59: i32 std, 60: i32 core, 61: i32 kitex, 62: i32 list, 63: i32 map, 64: i32 optional, 65: i32 required, 66: i32 service, 67: i32 namespace, 68: i32 throws, 69: i32 oneway }
service match { void fn(1: i32 type, 2: i32 self, 3: i32 crate), void type(), void self(), void super(), void crate(), void async(), i32 await(1: i32 await), void dyn(), void list(), void throws() }
union enum { 1: i32 enum, 2: string struct, 3: bool fn }
