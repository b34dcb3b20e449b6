namespace go rr
exception Error { 1: string message }
typedef Error Err
typedef Err Fault
struct Plain { 1: i32 a }
typedef Plain P1
typedef P1 P2
typedef list<P2> P3
typedef map<string, P3> P4
enum En { A = 1 }
typedef En E1
typedef E1 E2
typedef set<E2> Es
typedef map<P2, Es> Keyed
union Un { 1: P2 p, 2: P4 q }
typedef Un U1
struct S { 1: P2 a, 2: required P4 b, 3: E2 c = E2.A, 4: Es d = [En.A, 1], 5: Keyed e, 6: U1 f = {"p": {"a": 1}}, 7: optional U1 g, 8: P3 h = [{"a": 1}] }
const P2 X = {"a": 1}
const E2 Y = E1.A
service V {
  P2 A(1: P3 a) throws (1: Fault f)
  P3 B(1: U1 u) throws (1: Err a, 2: Error b)
  P2 C(1: U1 u) (streaming.mode = "client")
}
