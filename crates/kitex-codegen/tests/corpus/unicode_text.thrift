namespace go rr
//   　 emoji 😀
struct S { 1: string a = "　😀" } // 你好
