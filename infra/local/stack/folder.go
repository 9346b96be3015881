package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// folderPrefix begins the names of all runs' folders.
const folderPrefix = "grantline-local-"

// lockName is the file that a run keeps locked in its folder. The kernel drops the lock when
// the run is killed, and the next run clears the folder away.
const lockName = ".alive"

// newFolder makes the run's folder, and removes those of runs that were killed.
func (s *Stack) newFolder() error {
	removeDead()
	folder, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	s.folder = folder
	// Locked under another name first, so that nobody takes it for a dead run's.
	name := filepath.Join(folder, lockName)
	if s.alive, err = os.OpenFile(name+".new", os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o600); err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	if err := syscall.Flock(int(s.alive.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("stack: lock %s: %w", name, err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	return nil
}

// removeDead removes what it can; a folder that is somebody else's, or in use, stays.
func removeDead() {
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	if err != nil {
		return
	}
	for _, folder := range folders {
		file, err := os.OpenFile(filepath.Join(folder, lockName), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(folder)
		}
		_ = file.Close()
	}
}

// removeFolder ends the run's claim on its folder.
func (s *Stack) removeFolder() error {
	if s.folder == "" {
		return nil
	}
	err := os.RemoveAll(s.folder)
	if s.alive != nil {
		err = errors.Join(err, s.alive.Close())
	}
	return err
}
