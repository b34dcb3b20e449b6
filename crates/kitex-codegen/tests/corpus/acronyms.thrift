namespace go rr
struct HTTPServer { 1: i32 HTTPServer, 2: i32 httpServer, 3: i32 http_server, 4: i32 URLParser2, 5: i32 userIDs, 6: i32 XMLHttp }
struct HttpServer {}
struct http_server {}
service HTTP { HTTPServer GetURL(1: HttpServer s), HTTPServer GetUrl(1: HttpServer s), void get_url() }
service Http { void M() }
