"""What README.md shows is what happens."""
import doctest
import os
import re
import unittest

README = os.environ.get("PYTHON_README", os.path.join(
    os.path.dirname(__file__), "..", "README.md"))


class Readme(unittest.TestCase):
    def test_its_session(self):
        with open(README, encoding="utf-8") as file:
            blocks = re.findall(r"^```pycon\n(.*?)^```$", file.read(),
                                re.M | re.S)
        test = doctest.DocTestParser().get_doctest(
            "\n".join(blocks), {}, "README.md", README, 0)
        self.assertGreater(len(test.examples), 20)
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        self.assertEqual(runner.run(test).failed, 0)


if __name__ == "__main__":
    unittest.main()
