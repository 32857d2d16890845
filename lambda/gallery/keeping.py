"""What is done with a message, and with a picture that goes."""

from dataclasses import dataclass

from gallery.files import Files
from gallery.rows import Rows
from gallery.texts import Texts
from gallery.vectors import Vectors
from sd_contract.gallery import Drawn, Kept

DAY_S = 86_400


@dataclass(frozen=True)
class Gallery:
    """Messages come again, out of order, and may cross a deletion. A row is written before its
    vector and taken away with it, so no vector is left whose row is gone; and a deletion leaves a
    mark first, which is looked at last: whichever of the two ends later takes all away."""

    rows: Rows
    vectors: Vectors
    files: Files
    texts: Texts
    days: int

    def keep(self, drawn: Drawn, request_id: str) -> None:
        """As often as it is called for one message. Raises whatever AWS's clients do, and
        FrontDoorError where no endpoint gives the prompt's vector."""
        pictures = []
        for each in drawn.pictures:
            picture = drawn.kept(each, drawn.created_at + self.days * DAY_S)
            if not self.rows.is_deleted(each.id) and picture.expires_at > self.rows.now():
                self.files.copy(each.key, picture)
                self.rows.put(picture)
                pictures.append(picture)
        if not pictures:
            return
        vector = self.texts.vector(drawn.prompt, drawn.index, drawn.model, request_id)
        self.vectors.put(pictures, vector)
        for picture in pictures:
            if self.rows.is_deleted(picture.id):
                self.rows.remove(picture.id)
                self.forget(picture)

    def delete(self, picture: Kept) -> None:
        """Once it returns nothing is left of it."""
        self.rows.delete(picture.id)
        self.forget(picture)

    def forget(self, picture: Kept) -> None:
        """What is left of a picture whose row is gone."""
        self.vectors.delete(picture)
        self.files.delete(picture)
