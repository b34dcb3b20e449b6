namespace go rr
struct S { 1: i32 a (a.b.c = 'x "y" z', a.b.c = "again", go.tag = "json:\"a\"")
 2: string b (
  x = 'multi
line'
 )
}
