//go:build !local

package apple

const modes = "soft or hard"

func (Mode) off() bool { return false }
