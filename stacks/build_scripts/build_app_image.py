"""Builds the generator app's container image and pushes it under its content key, unless there.

    python3 -m stacks.build_scripts.build_app_image

with ImageJob's environment; its base image is a public one, by its tag. ECS takes whatever manifest
docker pushes.
"""

from stacks.build_scripts.build_image import (
    BASE_NAME,
    CONTEXT,
    BuildFailed,
    ImageBuilder,
    main,
)


class AppImageBuilder(ImageBuilder):
    def build(self) -> None:
        if self.pushed():
            print(f"{self.job.image} is there already")
        else:
            self._build()
        # What the tag stood for isn't asked: a public registry isn't ECR's API.
        self.record(self.job.base_image, "")

    def _build(self) -> None:
        image, dockerfile = self.job.image, self.job.dockerfile
        login = ["docker", "login", "--username", "AWS", "--password-stdin"]
        # Not to the public registry, which refuses a login of another's.
        if self.run([*login, image.split("/")[0]], self.registry_password()):
            raise BuildFailed(f"docker login to {image.split('/')[0]} failed")
        build = [
            *("docker", "buildx", "build", "--file", dockerfile, "--tag", image),
            *("--provenance=false", "--sbom=false"),
            *("--build-arg", f"BASE_IMAGE={self.job.base_image}"),
            *("--label", f"{BASE_NAME}={self.job.base_image}"),
        ]
        if self.run([*build, CONTEXT], ""):
            raise BuildFailed(f"docker build of {dockerfile} failed")
        # A tag can't be pushed twice: where another build was faster, its image is as good as ours.
        self.run(["docker", "push", image], "")
        if not self.pushed():
            raise BuildFailed(f"docker push of {image} failed")


if __name__ == "__main__":
    main(AppImageBuilder)
