namespace go rr
enum E { A = 1, B }
typedef E T
typedef T U
const U X = U.B
const U Y = E.A
const U Z = A
const list<U> L = [U.A, T.B, E.A, 2]
struct S { 1: U u = U.B, 2: set<T> s = [T.A], 3: map<U, T> m = {U.A: T.B} }
