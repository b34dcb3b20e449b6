namespace go v
enum E { Y = 1 }
exception Err {}
service Base { void B() }
