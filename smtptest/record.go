package smtptest

import "slices"

// Messages returns copies of the messages accepted so far, oldest first. A message is
// recorded before its final reply is sent, so Messages has it even if the client
// never receives that reply.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copies()
}

// copies returns copies of all messages. It needs mu.
func (s *Server) copies() []Message {
	all := make([]Message, len(s.messages))
	for i, m := range s.messages {
		all[i] = m.copy()
	}
	return all
}

// Transcript returns what was said so far, in the order in which it happened in all
// sessions. A line begins with the number of its session: "[2] C: QUIT". After that it
// is "C: " or "S: " and what the client or the server said. It is "C: <4096 octets>" for
// a message or a chunk, "S> " and a quoted string for Answer.Raw, "-- TLS" where TLS
// started, and "-- protocol: " and what the client did wrong. What a client says in an
// AUTH exchange is shown as ***.
func (s *Server) Transcript() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.transcript)
}

// RoundTrips returns how often the server had to wait for the client after having
// said something: for the next command, message or SASL response. The server keeps
// replies back while input is left, as RFC 2920, 3.2 allows, so commands that the
// client sends together are one round trip. Over a Pipe that is so even if they come
// in several writes: a wait does not count any more when the client goes on without
// having read what the server said. Over a socket the server cannot know that, and
// such commands may count more than once. The greeting is one round trip, a reply to
// QUIT is none, and neither is a TLS handshake.
func (s *Server) RoundTrips() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roundTrips
}

// Sessions returns how many sessions were opened so far.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

// Reset forgets the messages and the transcript. Next and Wait know only the messages after
// it; who waits already goes on waiting for those. A message that is under way is one of
// them. Sessions stay open, and neither their numbers nor the counts of Sessions and
// RoundTrips begin again.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages, s.transcript, s.handedOut = nil, nil, 0
}

// log adds a line of a session to the transcript. A session that Stop has cut says nothing
// any more.
func (s *Server) log(se *session, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !se.stopped {
		s.transcript = append(s.transcript, line)
	}
}

// countRoundTrips adds n to what RoundTrips returns.
func (s *Server) countRoundTrips(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roundTrips += n
}

// record keeps a message that a session accepted. A session that Stop has cut accepts
// nothing any more.
func (s *Server) record(se *session, m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !se.stopped {
		s.arrive(m)
	}
}

// arrive keeps a message and wakes those who wait. It needs mu.
func (s *Server) arrive(m Message) {
	s.messages = append(s.messages, m)
	if len(s.waiting) > 0 {
		s.waiting[0] <- m.copy()
		s.waiting = s.waiting[1:]
		s.handedOut++
	}
	s.wake()
}
