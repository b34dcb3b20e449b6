namespace go far
enum E { A = 1, B = 2 }
struct P { 1: E e = E.B, 2: list<E> l = [E.A], 3: U u = {"s": "q"} }
union U { 1: i32 n, 2: string s }
const P PP = {"e": E.A}
const map<E, P> MM = {E.A: PP, E.B: {}}
const i32 N = 7
const string T = "t"
typedef E EE
typedef P PT
exception X { 1: string m = T, 2: P p = PP }
typedef X XX
service B { P Get(1: P p = PP) throws (1: XX x) }
