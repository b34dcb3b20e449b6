namespace go rr
struct S { 1: optional i32 optional, 2: required i32 required, 3: i32 list, 4: i32 struct, 5: i32 const, 6: i32 include, 7: i32 void, 8: i32 string, 9: string i32, 10: i32 enum, 11: i32 extends, 12: i32 oneway, 13: i32 throws, 14: i32 true, 15: i32 false, 16: i32 binary}
enum E { list, map, set, struct, enum, required, optional, void, true }
