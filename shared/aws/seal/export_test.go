package seal

// Use counts n uses of the key that seals now.
func (s *Sealer) Use(n int) { s.uses += n }

// Take calls while with the turn of choosing a key taken.
func (s *Sealer) Take(while func()) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	while()
}
