"""`crossmusim match`: pairs decided, reviewed, shown and measured."""
