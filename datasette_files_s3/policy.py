"""The smallest policy of AWS IAM that gives a source its rights (rights.py tries them)."""

from __future__ import annotations

import re
from typing import Any

from .config import Folder, S3Config, is_access_point


def policy(folder: Folder, region: str, config: S3Config | None = None) -> dict[str, Any]:
    """The policy for a source in this bucket and prefix.

    Actions: "Actions, resources, and condition keys for Amazon S3" of the service authorization
    reference. Listing has no condition on the prefix: S3 answers 404 rather than 403 for a missing
    object only to those who may list without one.
    """
    partition = "aws"
    for begins, other in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")):
        partition = other if region.startswith(begins) else partition
    # Escapes ``*``, ``?`` and ``$`` (IAM policy elements: variables).
    prefix = re.sub(r"[*?$]", lambda match: f"${{{match[0]}}}", folder.prefix)
    if is_access_point(folder.bucket):
        bucket, objects = folder.bucket, f"{folder.bucket}/object/{prefix}*"
    else:
        bucket = f"arn:{partition}:s3:::{folder.bucket}"
        objects = f"{bucket}/{prefix}*"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [
                    "s3:GetObject",
                    "s3:PutObject",
                    "s3:DeleteObject",
                    "s3:AbortMultipartUpload",
                    "s3:ListMultipartUploadParts",
                ],
                "Resource": objects,
            },
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
                "Resource": bucket,
            },
            *([] if config is None else _key_statements(partition, config)),
        ],
    }


def _key_statements(partition: str, config: S3Config) -> list[dict[str, Any]]:
    """The right to use the KMS key, where the source names KMS. An alias is no resource."""
    if config.sse in (None, "AES256"):
        return []
    key = config.sse_kms_key_id or ""
    if not key.startswith("arn:") or ":alias/" in key:
        named = key if re.fullmatch(r"[0-9a-fA-F-]+|mrk-\w+", key) else "*"
        key = f"arn:{partition}:kms:{config.region}:*:key/{named}"
    actions = ["kms:GenerateDataKey", "kms:Decrypt"]
    return [{"Effect": "Allow", "Action": actions, "Resource": key}]
