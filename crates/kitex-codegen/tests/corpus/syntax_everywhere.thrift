# a hash
/* a block */ namespace /* b */ go /* c */ rr // end
namespace * other
namespace py.twisted x.y (a = "b")
cpp_include "<vector>"
namespace java a.b
/**/ const /*1*/ i32 /*2*/ X /*3*/ = /*4*/ 1 /*5*/ ; // six
const list<i32> L = [1, 2; 3 4,];
const map<string, i32> M = {"a": 1; "b": 2 "c": 3,}
typedef /* a */ list < /* b */ map < string , i32 > > /* c */ T (a = "b");
enum /* */ E /* */ { /* */ A /* */ = /* */ 1 /* */ ; B = 0x2 (a = "b"), C # hash
 D /* d */ // dd
} /* after */ (x = "y")
struct S { /* nothing */ }
struct /* 1 */ R /* 2 */ { // 3
  /* 4 */ 1 /* 5 */ : /* 6 */ optional /* 7 */ list /* 8 */ < /* 9 */ i32 /* 10 */ > /* 11 */ a /* 12 */ = /* 13 */ [ /* 14 */ 1 /* 15 */ , /* 16 */ ] /* 17 */ ( /* 18 */ k /* 19 */ = /* 20 */ "v" /* 21 */ ) /* 22 */ ; /* 23 */
  string b; required bool c
  7: i32 d
  i32 e
  -5: optional i32 f,
} (s = "t", flag, u = 'v';)
exception Ex { string why } (z = "1")
union /* u */ U /* v */ { i32 a; string b }
service /* s */ V /* t */ { // u
  /* v */ void /* w */ M /* x */ ( /* y */ 1 /* z */ : i32 /* a */ a /* b */ , string b; bool c ) /* c */ throws /* d */ ( /* e */ 1: Ex e /* f */ ) /* g */ ( k = "v" ) /* h */ ; /* i */
  oneway /* o */ void N(), // n
  map cpp_type "x" <string, i32> P(list<i32> cpp_type "std::vector" a)
  void Q() throws ()
  list < list < i32 > > R ( R r , )
} (service = "annotated")
service /* a */ W /* b */ extends /* c */ V /* d */ { }
include "inc/base.thrift"
struct Late { 1: base.A a }
// the end without a newline
/* last */