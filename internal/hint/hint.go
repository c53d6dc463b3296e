package hint

// Reply is what the server said. The zero Reply is none.
type Reply struct {
	Code     int
	Enhanced [3]int // RFC 3463; zero when there is none
}

// permanent reports whether the code is 5yz.
func (r Reply) permanent() bool { return r.Code/100 == 5 }
