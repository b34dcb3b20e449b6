namespace go rr
exception E { 1: string m }
typedef E F
service V { void M() throws (1: E e, 2: F f) }
