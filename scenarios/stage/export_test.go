package stage

import "os"

// Break makes every further write to the journal an error, as a full disk does.
func (j *Journal) Break() {
	j.file.Close()
	j.file, _ = os.Open(j.path)
}

// Fill is Break until there is room again.
func (j *Journal) Fill() (room func()) {
	file := j.file
	j.file, _ = os.Open(j.path)
	return func() { j.file.Close(); j.file = file }
}
