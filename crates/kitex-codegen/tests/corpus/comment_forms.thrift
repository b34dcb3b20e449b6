namespace go rr
struct S {
 1: i32 a, /* x */ // y
 # z
 2: i32 b /** doc */
 /** doc **/ 3: i32 c
 /***/ 4: i32 d /**/
 /*/ tricky */ 5: i32 e
}
/* unusual * / ** */
enum E { /**/ }
service V {
 # c
 /** m */ void M( /* none */ ) // tail
 # end
}
//