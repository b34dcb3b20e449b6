namespace go rr
const string K = "k"
const i32 N = 3
enum E { A = 1 }
const E EE = E.A
const map<string, i32> M = {K: N, "z": 1}
const map<i32, string> M2 = {N: K}
const map<E, E> M3 = {EE: EE}
struct S { 1: map<string, i32> m = {K: N}, 2: map<E, list<string>> n = {EE: [K, K]} }
